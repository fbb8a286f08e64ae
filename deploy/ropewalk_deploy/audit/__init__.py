"""What `verify` and `status` know: pure accounts of logs and stores, and what fills them."""
