//! Dustin.
