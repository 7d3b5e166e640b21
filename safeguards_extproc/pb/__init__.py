"""Messages generated from proto/ by tools/proto.py."""
