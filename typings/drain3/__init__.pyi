"""What perdure uses of drain3, typed; drain3 itself ships no types."""
