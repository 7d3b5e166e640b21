"""safeguards-extproc: an Envoy external-processing filter that keeps language models safe."""

__version__ = "0.1.0"
