//! The process dies, or its disk fails: nothing that was acknowledged is lost, nothing is stored
//! twice, and it goes on by itself.

mod checkpoint;
mod killed;
mod points;
mod scenario;
mod syscalls;
