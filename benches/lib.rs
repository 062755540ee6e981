//! vatic-bench: under construction.
