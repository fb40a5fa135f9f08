//! Notes on rebuilds: each change counts once.

use uuid::Uuid;

use super::Place;
use crate::RebuildRow;

pub(super) async fn run<P: Place>(make: &impl AsyncFn() -> P) {
    let place = make().await;
    let store = place.open().await.unwrap();
    assert_eq!(store.rebuilds().await.unwrap(), []);
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert!(!store.note_rebuild(other, 1, b"of nothing").await.unwrap());
    assert!(store.note_rebuild(other, 0, b"asked").await.unwrap());
    assert!(!store.note_rebuild(other, 0, b"asked twice").await.unwrap());
    assert!(store.note_rebuild(other, 1, b"done").await.unwrap());
    assert!(store.note_rebuild(one, 0, b"older").await.unwrap());
    let (left, right) = tokio::join!(store.note_rebuild(one, 1, b"left"), store.note_rebuild(one, 1, b"right"));
    let (left, right) = (left.unwrap(), right.unwrap());
    assert!(left != right, "one of two changes counts");
    drop(store);
    let store = place.open().await.unwrap();
    let row = |id, note: &[u8]| RebuildRow { id, revision: 2, note: note.to_vec() };
    let expected = [row(one, if left { b"left" } else { b"right" }), row(other, b"done")];
    assert_eq!(store.rebuilds().await.unwrap(), expected);
}
