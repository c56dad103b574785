/* Products of bit rows, and of uint8 rows with signs. Compiled on first use by native.py; the same integers as
 * reference.py.
 *
 * The right-hand side comes in panels: word w of 8 rows side by side (bits), or 4 values of 16 rows side by side
 * (signs). A vector then holds one word of 8 rows, the left-hand side is broadcast, and each lane sums the count of one
 * result: nothing has to be added across lanes.
 */
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

typedef uint64_t u64;
typedef int64_t i64;
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")
enum { XOR = 0, AND = 1, COLUMNS = 8, SIGN_COLUMNS = 16 };

/* ---- one vector of words: PARTS of them make a panel's 8 columns; a tile has ROWS x PANELS of those ---- */
#if defined(__AVX512VPOPCNTDQ__) && defined(__AVX512F__)
#define BIT_NAME "AVX-512 VPOPCNTDQ"
typedef __m512i words;
enum { LANES = 8, ROWS = 4, PANELS = 4 };
INLINE words load(const u64 *p) { return _mm512_loadu_si512(p); }
INLINE void store(u64 *p, words x) { _mm512_storeu_si512(p, x); }
INLINE words zero(void) { return _mm512_setzero_si512(); }
INLINE words broadcast(u64 x) { return _mm512_set1_epi64((i64)x); }
INLINE words both(words a, words b, int op) { return op == XOR ? _mm512_xor_si512(a, b) : _mm512_and_si512(a, b); }
INLINE words add(words a, words b) { return _mm512_add_epi64(a, b); }
INLINE words count(words x) { return _mm512_popcnt_epi64(x); }
#elif defined(__AVX2__)
#define BIT_NAME "AVX2"
typedef __m256i words;
enum { LANES = 4, ROWS = 4, PANELS = 1 };
INLINE words load(const u64 *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE void store(u64 *p, words x) { _mm256_storeu_si256((__m256i *)p, x); }
INLINE words zero(void) { return _mm256_setzero_si256(); }
INLINE words broadcast(u64 x) { return _mm256_set1_epi64x((i64)x); }
INLINE words both(words a, words b, int op) { return op == XOR ? _mm256_xor_si256(a, b) : _mm256_and_si256(a, b); }
INLINE words add(words a, words b) { return _mm256_add_epi64(a, b); }
INLINE words count(words x) { /* of each half byte by a table, then bytes summed by 64-bit lane */
    const words table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2,
                                         2, 3, 2, 3, 3, 4);
    const words low = _mm256_set1_epi8(15);
    words a = _mm256_shuffle_epi8(table, _mm256_and_si256(x, low));
    words b = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
    return _mm256_sad_epu8(_mm256_add_epi8(a, b), zero());
}
#else
#define BIT_NAME "64-bit words"
typedef u64 words;
enum { LANES = 1, ROWS = 1, PANELS = 1 };
INLINE words load(const u64 *p) { return *p; }
INLINE void store(u64 *p, words x) { *p = x; }
INLINE words zero(void) { return 0; }
INLINE words broadcast(u64 x) { return x; }
INLINE words both(words a, words b, int op) { return op == XOR ? a ^ b : a & b; }
INLINE words add(words a, words b) { return a + b; }
INLINE words count(words x) { return (u64)__builtin_popcountll(x); }
#endif
enum { PARTS = COLUMNS / LANES };

/* out[j] = base - 2 count (XOR) or base + 2 count (AND), for the first n of a panel's columns */
INLINE void write_panel(const words *sums, int32_t base, int op, i64 n, int32_t *out) {
#if defined(__AVX512VPOPCNTDQ__) && defined(__AVX512F__) && defined(__AVX512VL__)
    __m256i twice = _mm256_slli_epi32(_mm512_cvtepi64_epi32(sums[0]), 1), start = _mm256_set1_epi32(base);
    __m256i value = op == XOR ? _mm256_sub_epi32(start, twice) : _mm256_add_epi32(start, twice);
    _mm256_mask_storeu_epi32(out, (__mmask8)(n >= 8 ? 255 : (1 << n) - 1), value);
#else
    u64 counts[COLUMNS];
    for (int part = 0; part < PARTS; part++) store(counts + part * LANES, sums[part]);
    for (i64 j = 0; j < n && j < COLUMNS; j++)
        out[j] = op == XOR ? base - 2 * (int32_t)counts[j] : base + 2 * (int32_t)counts[j];
#endif
}

INLINE void bit_tile(const u64 *a, const u64 *b, i64 width, const int32_t *bases, const int rows, const int panels,
                     const int op, i64 n, int32_t *out, i64 stride) {
    words sums[ROWS][PANELS][PARTS];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int p = 0; p < panels; p++)
        UNROLL for (int part = 0; part < PARTS; part++) sums[r][p][part] = zero();
    for (i64 w = 0; w < width; w++) {
        words right[PANELS][PARTS];
        UNROLL for (int p = 0; p < panels; p++) UNROLL for (int part = 0; part < PARTS; part++)
            right[p][part] = load(b + (p * width + w) * COLUMNS + part * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
            words left = broadcast(a[r * width + w]);
            UNROLL for (int p = 0; p < panels; p++) UNROLL for (int part = 0; part < PARTS; part++)
                sums[r][p][part] = add(sums[r][p][part], count(both(left, right[p][part], op)));
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int p = 0; p < panels; p++)
        if (n > p * COLUMNS) write_panel(sums[r][p], bases[r], op, n - p * COLUMNS, out + r * stride + p * COLUMNS);
}

/* ---- signs: 4 values of 16 rows in a vector ---- */
#if defined(__AVX512VNNI__)
#define SIGN_NAME "AVX-512 VNNI"
typedef __m512i sums32;
enum { SIGN_PARTS = 1, SIGN_ROWS = 4, SIGN_PANELS = 4 };
INLINE sums32 zero32(void) { return _mm512_setzero_si512(); }
INLINE sums32 load32(const int8_t *p) { return _mm512_loadu_si512(p); }
INLINE sums32 broadcast32(const uint8_t *p) { int32_t x; memcpy(&x, p, 4); return _mm512_set1_epi32(x); }
INLINE sums32 dot32(sums32 sum, sums32 a, sums32 b) { return _mm512_dpbusd_epi32(sum, a, b); }
INLINE void store32(int32_t *p, sums32 x) { _mm512_storeu_si512(p, x); }
#elif defined(__AVX2__)
#define SIGN_NAME "AVX2"
typedef __m256i sums32;
enum { SIGN_PARTS = 2, SIGN_ROWS = 4, SIGN_PANELS = 1 };
INLINE sums32 zero32(void) { return _mm256_setzero_si256(); }
INLINE sums32 load32(const int8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE sums32 broadcast32(const uint8_t *p) { int32_t x; memcpy(&x, p, 4); return _mm256_set1_epi32(x); }
INLINE sums32 dot32(sums32 sum, sums32 a, sums32 b) { /* two products of 255 fit into 16 bits: the weights are signs */
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)));
}
INLINE void store32(int32_t *p, sums32 x) { _mm256_storeu_si256((__m256i *)p, x); }
#else
#define SIGN_NAME "plain C"
typedef struct { int32_t lane[4]; } sums32;
enum { SIGN_PARTS = 4, SIGN_ROWS = 1, SIGN_PANELS = 1 };
typedef char four_values_fit[sizeof(sums32) == 16 ? 1 : -1];
INLINE sums32 zero32(void) { sums32 x = {{0}}; return x; }
INLINE sums32 load32(const int8_t *p) { sums32 x; memcpy(&x, p, sizeof x); return x; }
INLINE sums32 broadcast32(const uint8_t *p) {
    sums32 x;
    for (int i = 0; i < 4; i++) memcpy(&x.lane[i], p, 4);
    return x;
}
INLINE sums32 dot32(sums32 sum, sums32 a, sums32 b) {
    const uint8_t *u = (const uint8_t *)&a;
    const int8_t *v = (const int8_t *)&b;
    for (int i = 0; i < 16; i++) sum.lane[i / 4] += u[i] * v[i];
    return sum;
}
INLINE void store32(int32_t *p, sums32 x) { memcpy(p, &x, sizeof x); }
#endif

INLINE void sign_tile(const uint8_t *a, const int8_t *b, i64 width, const int rows, const int panels, i64 n,
                      int32_t *out, i64 stride) { /* width: values in a row, a multiple of 4 */
    enum { BYTES = 64 / SIGN_PARTS, VALUES = SIGN_COLUMNS / SIGN_PARTS };
    sums32 sums[SIGN_ROWS][SIGN_PANELS][SIGN_PARTS];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int p = 0; p < panels; p++)
        UNROLL for (int part = 0; part < SIGN_PARTS; part++) sums[r][p][part] = zero32();
    for (i64 k = 0; k < width; k += 4) {
        sums32 right[SIGN_PANELS][SIGN_PARTS];
        UNROLL for (int p = 0; p < panels; p++) UNROLL for (int part = 0; part < SIGN_PARTS; part++)
            right[p][part] = load32(b + (p * width + k) * SIGN_COLUMNS + part * BYTES);
        UNROLL for (int r = 0; r < rows; r++) {
            sums32 left = broadcast32(a + r * width + k);
            UNROLL for (int p = 0; p < panels; p++) UNROLL for (int part = 0; part < SIGN_PARTS; part++)
                sums[r][p][part] = dot32(sums[r][p][part], left, right[p][part]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int p = 0; p < panels; p++) {
        i64 left = n - p * SIGN_COLUMNS;
        int32_t values[SIGN_COLUMNS];
        if (left <= 0) continue;
        UNROLL for (int part = 0; part < SIGN_PARTS; part++) store32(values + part * VALUES, sums[r][p][part]);
        memcpy(out + r * stride + p * SIGN_COLUMNS, values, 4 * (left < SIGN_COLUMNS ? left : SIGN_COLUMNS));
    }
}

/* ---- a product cut into tiles, and the tiles among threads ---- */
typedef struct {
    const void *a, *b;
    int32_t *out;
    i64 rows, first, last, columns, width, count; /* columns first..last of `columns`, `first` a multiple of 64 */
    int op;                                       /* XOR, AND, or SIGN */
} Work;
enum { SIGN = 2 };

#define PER_PANELS(CALL) \
    if (panels == 4) CALL(4) else if (panels == 3) CALL(3) else if (panels == 2) CALL(2) else CALL(1)

INLINE void bit_rows(const Work *job, i64 m, const int rows, i64 j, int panels, int op) {
    const u64 *a = (const u64 *)job->a + m * job->width, *b = (const u64 *)job->b + j * job->width;
    int32_t *out = job->out + m * job->columns + j, bases[ROWS];
    for (int r = 0; r < rows; r++) {
        i64 ones = 0;
        if (op == AND) for (i64 w = 0; w < job->width; w++) ones += __builtin_popcountll(a[r * job->width + w]);
        bases[r] = (int32_t)(op == AND ? -ones : job->count);
    }
#define CALL(P) bit_tile(a, b, job->width, bases, rows, P <= PANELS ? P : PANELS, op, job->last - j, out, job->columns);
    PER_PANELS(CALL)
#undef CALL
}

INLINE void sign_rows(const Work *job, i64 m, const int rows, i64 j, int panels) {
    const uint8_t *a = (const uint8_t *)job->a + m * job->width;
    const int8_t *b = (const int8_t *)job->b + j * job->width;
    int32_t *out = job->out + m * job->columns + j;
#define CALL(P) sign_tile(a, b, job->width, rows, P <= SIGN_PANELS ? P : SIGN_PANELS, job->last - j, out, job->columns);
    PER_PANELS(CALL)
#undef CALL
}

INLINE void bit_work(const Work *job, i64 m, i64 end, i64 j, int panels, int op) {
    for (; m + ROWS <= end; m += ROWS) bit_rows(job, m, ROWS, j, panels, op);
    for (; m < end; m++) bit_rows(job, m, 1, j, panels, op);
}

static void *run(void *argument) {
    const Work *job = argument;
    const i64 bytes = job->op == SIGN ? job->width : 8 * job->width;
    const i64 columns = job->op == SIGN ? SIGN_COLUMNS : COLUMNS;
    const i64 most = job->op == SIGN ? SIGN_PANELS : PANELS;
    i64 block = (256 << 10) / (bytes ? bytes : 1) & ~(i64)7; /* rows of a that stay in the second cache */
    if (block < 8) block = 8;
    for (i64 start = 0; start < job->rows; start += block) {
        i64 end = start + block < job->rows ? start + block : job->rows;
        for (i64 j = job->first; j < job->last;) {
            i64 rest = (job->last - j + columns - 1) / columns;
            int panels = (int)(rest < most ? rest : most);
            i64 m = start;
            if (job->op == XOR) bit_work(job, m, end, j, panels, XOR);
            else if (job->op == AND) bit_work(job, m, end, j, panels, AND);
            else {
                for (; m + SIGN_ROWS <= end; m += SIGN_ROWS) sign_rows(job, m, SIGN_ROWS, j, panels);
                for (; m < end; m++) sign_rows(job, m, 1, j, panels);
            }
            j += panels * columns;
        }
    }
    return 0;
}

/* out (rows, columns) = a (rows, width) times the panels b. count: the length of a row in bits (XOR only). */
void product(const void *a, const void *b, int32_t *out, i64 rows, i64 columns, i64 width, i64 count, int op,
             int threads) {
    enum { MOST = 64 };
    Work jobs[MOST];
    pthread_t started[MOST];
    int running[MOST];
    if (threads > MOST) threads = MOST;
    if (threads < 1) threads = 1;
    const int by_rows = rows >= 8 * threads;
    const i64 whole = by_rows ? (rows + 3) / 4 : (columns + 63) / 64, unit = by_rows ? 4 : 64;
    for (int t = 0; t < threads; t++) {
        i64 all = by_rows ? rows : columns;
        i64 low = whole * t / threads * unit, high = whole * (t + 1) / threads * unit;
        if (high > all) high = all;
        Work job = {a, b, out, rows, 0, columns, columns, width, count, op};
        if (by_rows) {
            job.a = (const char *)a + low * width * (op == SIGN ? 1 : 8);
            job.out = out + low * columns;
            job.rows = high - low;
        } else {
            job.first = low;
            job.last = high;
        }
        jobs[t] = job;
        running[t] = t + 1 < threads && !pthread_create(&started[t], 0, run, &jobs[t]);
        if (!running[t]) run(&jobs[t]); /* the last one, or no thread to be had */
    }
    for (int t = 0; t < threads; t++)
        if (running[t]) pthread_join(started[t], 0);
}

/* bit j of row m: (sums >= thresholds[pattern of m]) ^ flip, packed into words; zeros behind the last column. */
void fire(const int32_t *sums, const int32_t *thresholds, const int32_t *pattern, i64 positions, const u64 *flip,
          u64 *out, i64 rows, i64 columns) {
    const i64 width = (columns + 63) / 64;
    for (i64 m = 0; m < rows; m++) {
        const int32_t *row = sums + m * columns, *least = thresholds + pattern[m % positions] * columns;
        for (i64 w = 0; w < width; w++) {
            u64 word = 0;
            const i64 n = columns - 64 * w < 64 ? columns - 64 * w : 64;
#if defined(__AVX512F__)
            for (i64 i = 0; i < n; i += 16) {
                const __mmask16 inside = (__mmask16)(n - i >= 16 ? 65535 : (1 << (n - i)) - 1);
                const __m512i s = _mm512_maskz_loadu_epi32(inside, row + 64 * w + i);
                const __m512i t = _mm512_maskz_loadu_epi32(inside, least + 64 * w + i);
                word |= (u64)_mm512_mask_cmpge_epi32_mask(inside, s, t) << i;
            }
#else
            for (i64 i = 0; i < n; i++) word |= (u64)(row[64 * w + i] >= least[64 * w + i]) << i;
#endif
            out[m * width + w] = word ^ flip[w];
        }
    }
}

/* the 8 bit planes of uint8 values: out (8, rows, words), word i of plane p has bit p of values 64 i to 64 i + 63 */
void planes(const uint8_t *values, u64 *out, i64 rows, i64 columns) {
    const i64 width = (columns + 63) / 64;
    for (i64 m = 0; m < rows; m++)
        for (i64 w = 0; w < width; w++) {
            const i64 n = columns - 64 * w < 64 ? columns - 64 * w : 64;
            const uint8_t *from = values + m * columns + 64 * w;
#if defined(__AVX512BW__)
            const __m512i x = _mm512_maskz_loadu_epi8(n == 64 ? ~0ull : (1ull << n) - 1, from);
            UNROLL for (int p = 0; p < 8; p++)
                out[(p * rows + m) * width + w] = _mm512_test_epi8_mask(x, _mm512_set1_epi8((char)(1 << p)));
#else
            u64 plane[8] = {0};
            for (i64 i = 0; i < n; i++)
                for (int p = 0; p < 8; p++) plane[p] |= (u64)(from[i] >> p & 1) << i;
            for (int p = 0; p < 8; p++) out[(p * rows + m) * width + w] = plane[p];
#endif
        }
}

const char *bit_instructions(void) { return BIT_NAME; }
const char *sign_instructions(void) { return SIGN_NAME; }
