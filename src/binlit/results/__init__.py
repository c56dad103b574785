"""The record of one run, the table of many, and the published numbers beside it."""
