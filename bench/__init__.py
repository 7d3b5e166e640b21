"""What the filter costs, as ratios taken in one run: `make bench`, or `make bench REFERENCE=BIN` to compare."""
