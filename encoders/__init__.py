"""Transformer encoders of text, shared by the models of `triton_models` and by `training`; the service needs none.

The one rule: whoever scores text and whoever fits the scores use the same code, so the two cannot drift apart.
"""
