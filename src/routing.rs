//! Model name → ordered targets: the configuration compiled into an immutable table, the plan of one request, and its
//! course: what follows a failure, and what the client gets in the end.

pub mod course;
pub mod last_resort;
pub mod ledger;
mod listed;
pub mod plan;
pub mod table;
pub mod unroutable;

pub use course::{Cause, Course, Next, Outcome, Turn};
pub use last_resort::{LastResort, Worth};
pub use ledger::{Entry, Ledger};
pub use plan::{LeftOut, Plan, Step, pinned_plan, plan};
pub use table::{Group, Measured, Route, RouteTable, Target};

#[cfg(test)]
mod tests;
