//! Profiles: the tuning key, the order of fallbacks, and files in every state that a file can be in.

mod cpu;
mod gpu;
mod keys;
mod lookup;
mod manual;
mod properties;
mod scoring;
mod selection;
mod speed;
mod store;
mod support;
mod text;
