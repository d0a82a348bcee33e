//! Real directories and databases for tests and the demo.
