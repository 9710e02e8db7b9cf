//! Which header fields are stored, and which belong to the connection.

use super::names::{NAMES, Name};
use crate::{
    case::{Case, Suite, required},
    exchange::{Exchange, Stage, fresh, get},
    field::{cc, date, field},
};

pub(crate) fn suite() -> Suite {
    let listed = required(
        "headers-omit-headers-listed-in-Connection",
        "`Connection` must keep the fields that it lists from being stored",
    )
    .depends_on("freshness-max-age")
    .plays([
        fresh().answers([
            field("Connection", "a, b").unchecked(),
            field("a", "1").unchecked(),
            field("b", "2").unchecked(),
            field("c", "3").unchecked(),
        ]),
        get()
            .cached()
            .gets([field("c", "3")])
            .lacks(["a", "b"])
            .setup_of([Stage::Source, Stage::Fields]),
    ]);
    let cases = [listed].into_iter().chain(NAMES.map(stores)).collect();
    Suite { id: "headers", cases }
}

fn stores(name: Name) -> Case {
    let value = name.second_value("store-value");
    let must = if name.is_stored { "must" } else { "must not" };
    let line = field(name.name, value.clone());
    let answer = match name.is_stored {
        true => get().answers([date(0), line.clone()]),
        false => get().answers([date(0), line.clone().unchecked()]),
    };
    let answer = match name.name {
        "Cache-Control" => answer,
        _ => answer.answers([cc("max-age=3600")]),
    };
    let again = get().cached().setup_of([Stage::Source]);
    let again = match name.is_stored {
        true => again.gets([line]),
        false => again.lacks_value(name.name, value),
    };
    let with_body = |exchange: Exchange| match name.has_body {
        true => exchange,
        false => exchange.gets_any_text(),
    };
    required(format!("headers-store-{}", name.name), format!("{must} store `{}`", name.name))
        .depends_on("freshness-max-age")
        .plays([with_body(answer.setup().pauses()), with_body(again)])
}
