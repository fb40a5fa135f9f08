#![doc = include_str!("../README.md")]

mod change;
pub mod days;
mod fold;
mod history;
mod removal;

pub use change::{Change, NAMES, NotABasketEvent, Ordered, Price};
pub use fold::{Basket, Line};
pub use history::{BUDGET, History, Inserted};
pub use removal::{CheckedOut, Removal};
