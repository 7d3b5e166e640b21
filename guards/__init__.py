"""Other people's guard models, served by Triton: each is a row of `rows.ROWS` and a checkpoint that is mounted in.

The one rule: what a model is told and how its answer becomes scores stands in its row; the rest is the same for all.
"""
