//! One removal: what was in a basket and went out without an order.

use weir_event::codec::{Damaged, Reader, put_bytes};
use weir_event::{Decimal, EventKey};

use crate::change::{Price, option, put_option, put_text, text};

/// Something that was taken out of a basket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The event that took it out: its `at` is when.
    pub event: EventKey,
    /// Which product.
    pub product: String,
    /// What the product was called when it was put in.
    pub name: Option<String>,
    /// How much of it went out.
    pub quantity: Decimal,
    /// What one of it cost when it was put in.
    pub price: Option<Price>,
    /// When it was last put in before.
    pub added_at: i64,
    /// The order that came after it; `None`: a draft.
    pub checked_out: Option<CheckedOut>,
}

/// The order that a removal was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedOut {
    /// When.
    pub at: i64,
    /// The order's id, if it has one.
    pub order: Option<String>,
}

impl Removal {
    /// Whether no order has come after it.
    pub fn is_draft(&self) -> bool {
        self.checked_out.is_none()
    }

    /// What all that went out cost; none without a price, and none where it is past all numbers ([`Decimal`]).
    pub fn value(&self) -> Option<Decimal> {
        self.price.as_ref()?.amount.checked_mul(self.quantity)
    }

    /// The currency of price and value.
    pub fn currency(&self) -> Option<&str> {
        self.price.as_ref()?.currency.as_deref()
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        self.event.write(&mut out);
        put_bytes(&mut out, self.product.as_bytes());
        put_text(&mut out, self.name.as_deref());
        self.quantity.write(&mut out);
        put_option(&mut out, self.price.as_ref(), |price, out| {
            price.amount.write(out);
            put_text(out, price.currency.as_deref());
        });
        out.extend_from_slice(&self.added_at.to_be_bytes());
        put_option(&mut out, self.checked_out.as_ref(), |order, out| {
            out.extend_from_slice(&order.at.to_be_bytes());
            put_text(out, order.order.as_deref());
        });
        out
    }

    /// Reads its bytes.
    ///
    /// # Errors
    /// They aren't what [`encode`](Self::encode) made.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(bytes);
        let removal = Self {
            event: EventKey::read(&mut reader)?,
            product: reader.text()?.to_owned(),
            name: text(&mut reader)?,
            quantity: Decimal::read(&mut reader)?,
            price: option(&mut reader, |reader| Ok(Price { amount: Decimal::read(reader)?, currency: text(reader)? }))?,
            added_at: i64::from_be_bytes(reader.array()?),
            checked_out: option(&mut reader, |reader| {
                Ok(CheckedOut { at: i64::from_be_bytes(reader.array()?), order: text(reader)? })
            })?,
        };
        reader.finish()?;
        Ok(removal)
    }
}
