//! All 35 vectors of the foreign suite, through every way in.
