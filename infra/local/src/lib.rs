//! The local stack: the whole product in one process, on embedded engines.
