//! epilogue
