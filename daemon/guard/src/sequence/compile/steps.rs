//! What rules require, with `order` written out: each step requires the one before.

use super::super::spec::{NeedSpec, Place, RequireSpec, RuleSpec};

/// A requirement of some operations, and where it is written.
pub(super) struct Requirement {
    pub(super) on: Vec<String>,
    pub(super) require: RequireSpec,
    pub(super) place: Place,
}

/// The requirements of a rule.
pub(super) fn of(spec: &RuleSpec, place: &Place) -> Vec<Requirement> {
    let plain = spec.require.iter().enumerate().map(|(position, require)| Requirement {
        on: spec.on.clone(),
        require: require.clone(),
        place: place.clone().key("require").index(position),
    });
    let order = spec.order.iter().flat_map(|order| {
        let pairs = order.steps.windows(2).enumerate();
        pairs.filter_map(|(position, pair)| {
            let [before, step] = pair else { return None };
            let need = NeedSpec {
                op: before.clone(),
                within: order.within,
                bind: order.bind.clone(),
                status: None,
            };
            Some(Requirement {
                on: vec![step.clone()],
                require: need.into(),
                place: place.clone().key("order").index(position),
            })
        })
    });
    plain.chain(order).collect()
}

/// The place of an alternative of a requirement.
pub(super) fn alternative(requirement: &Place, require: &RequireSpec, position: usize) -> Place {
    match require.any.len() {
        1 => requirement.clone(),
        _ => requirement.clone().key("any").index(position),
    }
}

/// The place of the operation of an alternative: in an `order` it is the step itself.
pub(super) fn operation(place: Place, spec: &RuleSpec) -> Place {
    match spec.order {
        Some(_) if place.is_in("order") => place,
        Some(_) | None => place.key("op"),
    }
}
