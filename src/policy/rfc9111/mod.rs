//! The rules of HTTP caching: RFC 9111 and its extensions, as pure functions of settings, heads and
//! times. They read no clock and do no I/O. What a response says is parsed once, in `entry::facts`,
//! and the rules start from there. No hostile field can make them panic, run long or use much
//! memory. Where the RFC leaves a choice, they take the reading that stores less and keeps it fresh
//! for a shorter time. A comment marks each exception and says why. `properties` tests this.
//!
//! | clause | rule | code | tests |
//! |---|---|---|---|
//! | RFC 9111 §1.2.2, §5.2 | syntax of `Cache-Control`, delta-seconds | `fields::syntax` | its own |
//! | §5.2.2, §4.2.1 | response directives, conflicting and invalid ones | `fields::response_directives` | `invalid_lifetimes_count_as_zero`, `malformed_directives_are_treated_as_restrictive` |
//! | §5.2.1, §5.4 | request directives, `Pragma` | [`request_directives::request_directives`] | `malformed_request_directives_demand_the_most`, `pragma_counts_only_without_cache_control` |
//! | RFC 9213 §2 | targeted fields | [`targeted::effective_directives`] | `a_valid_field_replaces_cache_control`, `an_invalid_field_is_ignored` |
//! | RFC 9110 §5.6.7, RFC 9111 §4.2, §5.3 | dates | `fields::date` | `all_three_forms_and_any_case_are_dates`, `other_texts_are_no_dates` |
//! | §4.2.3, §5.1 | age | `fields::age_value`, [`age::initial_age`], [`age::current_age`] | `the_first_age_member_counts_if_it_is_a_number`, `the_greater_of_two_ages_counts` |
//! | §4.2.1, §4.2.2, RFC 9110 §15.1 | freshness lifetime | [`freshness::lifetime`] | `the_most_specific_lifetime_counts`, `expires_is_counted_from_date`, `the_heuristic_lifetime_is_a_tenth_of_the_time_since_last_modified` |
//! | §3, §5.2.1.5, §5.2.2.3–5.2.2.7 | storable responses | [`storable::check_storable`] | `any_final_status_is_stored_with_an_explicit_lifetime`, `no_store_forbids_unless_the_status_is_understood`, `private_responses_are_stored_only_in_private_caches`, `no_cache_responses_are_stored_only_with_a_validator` |
//! | §3.1 | omitted fields | [`omitted`] | `named_fields_are_omitted` |
//! | §4 | responses that another layer stored | [`satisfies::may_answer`] | `responses_stored_by_another_layer_are_judged_again` |
//! | §3.5 | responses to `Authorization` | [`storable::check_storable`] | `responses_to_authorization_are_shared_only_with_permission` |
//! | §7.3 | cookies in a shared cache | [`storable::check_storable`] | `a_shared_cache_stores_cookies_only_by_setting` |
//! | §4.2.4, §5.2.2.2, §5.2.2.8, §5.2.2.10, RFC 5861 | stale use | [`stale::stale_rules`] | `stale_use_is_forbidden_in_any_spelling` |
//! | §5.2.1.1–5.2.1.4, RFC 8246 §2 | request directives against a stored response | [`satisfies::satisfies`] | `request_directives_apply_to_the_second`, `fresh_immutable_responses_satisfy_any_max_age` |
//! | §4.1 | selecting fields | `key::selection` | `opaque_values_stay_distinct`, `languages_are_ordered_by_weight` |
//! | §4.3.4 | freshening by a 304 | `policy::validation` | `a_304_refers_to_responses_with_its_validators`; in `tests/cache`: `a_304_freshens_only_the_variant_that_was_revalidated` |
//! | §3.4, RFC 9110 §15.3.7.3 | combining parts | `policy::combine` | `parts_of_possibly_different_responses_do_not_combine`, `combined_parts_have_each_byte_at_its_position` |
//! | §4.3.5 | effect of a `HEAD` on a stored `GET` | [`head_update::head_says`] | `only_agreeing_fields_show_the_same_representation` |
//! | §4.4 | further URLs that an unsafe request invalidates | [`invalidate::named_urls`] | `urls_of_other_origins_are_ignored` |
//! | RFC 9875 | groups | [`cache_groups`] | `a_group_is_a_tag_of_its_origin` |
//! | draft-ietf-httpbis-no-vary-search | query parameters that do not matter | [`no_vary_search`] | `ignored_parameters_make_queries_equal`, `spellings_are_equal_under_any_rule` |

mod age;
mod cache_groups;
mod freshness;
mod head_update;
mod invalidate;
mod no_vary_search;
mod omitted;
mod origin;
#[cfg(test)]
mod properties;
mod request_directives;
mod satisfies;
mod stale;
mod storable;
mod targeted;

pub(crate) use self::{
    age::current_age,
    cache_groups::{GROUP_TAG_PREFIX, group_tags, invalidated_group_tags},
    head_update::{HeadSays, head_says},
    invalidate::{named_urls, speaks_for_get},
    no_vary_search::{NO_VARY_SEARCH, UrlVariation, url_variation},
    request_directives::{RequestDirectives, request_directives},
    satisfies::{Satisfied, may_answer, satisfies},
    stale::stale_rules,
    storable::{Settings, StorableCheck, allows_authorization, check_storable, has_authorization},
    targeted::effective_directives,
};
