//! The definitions that every new workspace starts with.

use crate::command::NewDefinition;

/// The score `points`.
pub const POINTS: &str = r#"{"name":"Points","rules":[{"event":"LOGIN","points":1},{"event":"PURCHASE","points":10},{"event":"REFERRAL","points":20}]}"#;

/// The segment `abandoned-cart`: a cart was filled, and no order was completed after the latest time.
pub const ABANDONED_CART: &str =
    r#"{"name":"Abandoned cart","when":{"event":"cart.added","not_followed_by":{"event":"order.completed"}}}"#;

/// The segment `abandoned-cart-never-ordered`: a cart was filled, and no order was ever completed.
pub const ABANDONED_CART_NEVER_ORDERED: &str = r#"{"name":"Abandoned cart, never ordered","when":{"all":[{"event":"cart.added"},{"not":{"event":"order.completed"}}]}}"#;

/// The segment `removed-before-checkout`: something was taken out of a cart, and no order was completed after the latest
/// time.
pub const REMOVED_BEFORE_CHECKOUT: &str = r#"{"name":"Removed before checkout","when":{"event":"cart.removed","not_followed_by":{"event":"order.completed"}}}"#;

/// The segments of a new workspace. None is true of an empty history, and none names another definition.
pub fn segments() -> Vec<NewDefinition> {
    vec![
        NewDefinition::plain("abandoned-cart", ABANDONED_CART),
        NewDefinition::plain("abandoned-cart-never-ordered", ABANDONED_CART_NEVER_ORDERED),
        NewDefinition::plain("removed-before-checkout", REMOVED_BEFORE_CHECKOUT),
    ]
}

/// The scores of a new workspace.
pub fn scores() -> Vec<NewDefinition> {
    vec![NewDefinition::plain("points", POINTS)]
}
