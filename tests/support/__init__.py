"""What tests share: small models, tables, stores and sets, and programs that they start."""
