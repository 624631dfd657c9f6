//! Writing to paged KV caches: a step's own rows, and those of them that were accepted. And to the buffers of captured queries.
//!
//! `append` writes the keys and values of a step's rows, as a layer has computed them, to the positions `len .. len + rows` of
//! their sequences, and may copy the rows' queries to where attention reads them. `compact` follows a verified tree: the rows that were accepted move up to consecutive positions, in all
//! layers by one launch, so that they become confirmed tokens.
//!
//! `capture` copies the queries of one row of each sequence, of a few heads, to the slots that scoring reads them from.
//!
//! All only move bits, 16 bytes at a time, so that one kernel serves every 16-bit element type and head size. A *column* is
//! what one such word of a token is, a word of a KV head, or one of a row's queries. A thread has one column and no thread needs another's, so that
//! there are no barriers, and a launch's time is the memory's plus a chain of three look-ups: length, page, row.

mod accepted;
pub mod append;
pub mod capture;
pub mod compact;
pub mod params;
mod sequence;
pub mod variants;
