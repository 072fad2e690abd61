//! What of an effect is to be written down.

use portcullis_guard::blacklist::Origin;
use portcullis_guard::effect::Effect;

use crate::store::Item;

/// What of a verdict is to be written down. The gate's own bans are remembered beyond their end.
pub(super) fn of_verdict(effect: &Effect) -> impl Iterator<Item = Item> + use<> {
    [item(effect), strikes(effect)].into_iter().flatten()
}

/// What an effect changes.
pub(crate) fn item(effect: &Effect) -> Option<Item> {
    match effect {
        Effect::Ban(ban) => Some(Item::Ban(ban.network)),
        Effect::Unban(network) => Some(Item::Ban(*network)),
        Effect::Allow(network) | Effect::Disallow(network) => Some(Item::Allow(*network)),
        Effect::SessionEnded { session, .. } | Effect::SessionRestored(session) => Some(Item::Session(*session)),
        Effect::DropFlows { .. } | Effect::Report(_) => None,
    }
}

fn strikes(effect: &Effect) -> Option<Item> {
    match effect {
        Effect::Ban(ban) if ban.origin == Origin::Score => Some(Item::Strikes(ban.network)),
        Effect::Ban(_)
        | Effect::Unban(_)
        | Effect::Allow(_)
        | Effect::Disallow(_)
        | Effect::DropFlows { .. }
        | Effect::SessionEnded { .. }
        | Effect::SessionRestored(_)
        | Effect::Report(_) => None,
    }
}
