"""The pages that a report of runs may have, a file each; `binlit.report` has them in order."""
