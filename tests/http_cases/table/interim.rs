//! Interim responses (1xx).

use crate::{
    case::{Suite, optimal, required},
    exchange::get,
    field::{cc, date},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        optimal("interim-102", "passes a 102 response through and caches the final response")
            .needs_a_connection()
            .plays([
                get()
                    .answers([cc("max-age=100000"), date(0)])
                    .interim([(102, &[])])
                    .gets_interim([(102, &[])])
                    .pauses(),
                get().cached(),
            ]),
        optimal("interim-103", "passes a 103 response through and caches the final response")
            .needs_a_connection()
            .plays([
                get()
                    .answers([cc("max-age=100000"), date(0)])
                    .interim([(
                        103,
                        &[
                            ("link", "</styles.css>; rel=preload; as=style"),
                            ("x-my-header", "test"),
                        ],
                    )])
                    .gets_interim([(
                        103,
                        &[
                            ("link", "</styles.css>; rel=preload; as=style"),
                            ("x-my-header", "test"),
                        ],
                    )])
                    .pauses(),
                get().cached(),
            ]),
        required("interim-not-cached", "should not cache non-final responses")
            .needs_a_connection()
            .plays([
                get()
                    .answers([cc("max-age=100000"), date(0)])
                    .interim([(103, &[("link", "</styles.css>; rel=preload; as=style")])])
                    .gets_interim([(103, &[("link", "</styles.css>; rel=preload; as=style")])])
                    .pauses(),
                get().cached().gets_interim([]),
            ]),
        optimal("interim-no-header-reuse", "should not store headers from non-final responses")
            .needs_a_connection()
            .plays([
                get()
                    .answers([cc("max-age=100000"), date(0)])
                    .interim([(
                        103,
                        &[
                            ("link", "</styles.css>; rel=preload; as=style"),
                            ("x-my-header", "test"),
                        ],
                    )])
                    .lacks(["x-my-header"])
                    .gets_interim([(
                        103,
                        &[
                            ("link", "</styles.css>; rel=preload; as=style"),
                            ("x-my-header", "test"),
                        ],
                    )])
                    .pauses(),
                get().cached().lacks(["x-my-header"]),
            ]),
    ];
    Suite { id: "interim", cases }
}
