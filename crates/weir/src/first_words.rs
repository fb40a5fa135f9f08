//! What a first start says: the keys, once, and lines to paste.

use std::net::SocketAddr;

use crate::keys_file::KeysFile;

/// The keys and a short tour.
pub(crate) fn first_start(keys: &KeysFile, file: &std::path::Path, at: SocketAddr) -> String {
    format!("\nA new log. {}\n{}", self::keys(keys, file), tour(at, Some(keys)))
}

/// The keys of the first workspace.
pub(crate) fn keys(keys: &KeysFile, file: &std::path::Path) -> String {
    let KeysFile { workspace, write, read, admin, operator } = keys;
    format!(
        "Workspace {workspace:?} has these keys, which are kept in {} and shown once:\n\n  \
         write     {write}\n  read      {read}\n  admin     {admin}\n  operator  {operator}\n",
        file.display(),
    )
}

/// Lines that register somebody, put something into a cart and ask who abandoned one.
pub(crate) fn tour(at: SocketAddr, keys: Option<&KeysFile>) -> String {
    let bearer =
        |key: Option<&String>| key.map_or_else(String::new, |key| format!(" -H 'Authorization: Bearer {key}'"));
    let (write, read) = (bearer(keys.map(|keys| &keys.write)), bearer(keys.map(|keys| &keys.read)));
    let json = "-H 'Content-Type: application/json'";
    format!(
        "Register somebody, put something into her cart, ask who abandoned one:\n\n\
         curl http://{at}/api/profiles{write} {json} -d '{{\"email\":\"ada@example.com\",\"name\":\"Ada\"}}'\n\
         curl http://{at}/api/profiles/email:ada@example.com/events{write} {json} -d '{{\"name\":\"cart.added\",\"properties\":{{\"product_id\":\"sku-1\"}}}}'\n\
         curl http://{at}/api/segments/abandoned-cart{read}\n"
    )
}
