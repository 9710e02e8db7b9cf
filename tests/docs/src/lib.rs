//! Compares the code in the documentation with the examples.
