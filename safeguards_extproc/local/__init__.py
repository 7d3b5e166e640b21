"""The whole stack on one machine: for the demo, replays and tests with real parts."""
