"""What tests are given: one module per resource."""
