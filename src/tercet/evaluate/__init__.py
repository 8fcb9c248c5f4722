"""How good a reading is: figures over manifests of recordings. Nothing is imported by this page itself."""
