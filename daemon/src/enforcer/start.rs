//! How the packet layer starts: from nothing, or with what an earlier process left.

use std::path::{Path, PathBuf};

use portcullis_common::{Geometry, maps as names};

use super::{
    AttachOptions, Capacities, EnforcerError, attach,
    attachment::Attachment,
    debug_log, geometry,
    ground::Ground,
    handed::Handed,
    legacy,
    maps::Maps,
    pins::{self, Earlier, Layout, MAPS, Pins},
    settings::Settings,
    table::Source,
};

/// Maps that do not depend on the size of the tables and go on with tables of another size.
const CARRIED: [&str; 3] = [names::NEVER_BAN, names::COUNTERS, names::SCRATCH];

/// What the tables will be, and where they come from.
struct Plan {
    geometry: Geometry,
    capacities: Capacities,
    earlier: Option<Earlier>,
    /// Whether the maps of the earlier process are taken as they are.
    as_is: bool,
}

/// What has started.
pub(super) struct Started {
    pub(super) attachment: Attachment,
    /// With the capacities that the tables really have.
    pub(super) options: AttachOptions,
}

/// Loads the program, gives its tables what was kept, and attaches it.
pub(super) fn run(options: &AttachOptions, ground: &Ground) -> Result<Started, EnforcerError> {
    let pins = ground.pins();
    let plan = plan(options, pins)?;
    let options = AttachOptions {
        capacities: plan.capacities,
        ..options.clone()
    };
    let next = pins.map(|pins| prepare(pins, &plan)).transpose()?;
    let pinned = next.as_deref().map(|next| (next, MAPS.as_slice()));
    let mut program = attach::load(&options, &plan.geometry, pinned)?;
    let handed = Handed::of(&program)?;
    drop(open_maps(&handed, &plan)?);
    Settings::open(&Source::Handed(&handed), &options, &plan.geometry)?;
    if options.debug {
        debug_log::follow(&mut program)?;
    }
    let mut attachment = Attachment::new(program)?;
    let named = match pins {
        Some(pins) => Some(pins.finish_next(attachment.fd()?)?),
        None => None,
    };
    attachment.attach(&options, pins)?;
    if let Some(pins) = pins {
        let indices: Vec<u32> = attachment
            .interfaces()
            .iter()
            .map(|interface| interface.index)
            .collect();
        pins.tidy(&indices, named.as_deref())?;
    }
    Ok(Started { attachment, options })
}

/// Tables never get smaller, so that no ban is ever without room.
fn plan(options: &AttachOptions, pins: Option<&Pins>) -> Result<Plan, EnforcerError> {
    let earlier = match pins {
        Some(pins) => pins.find()?,
        None => None,
    };
    let fresh = |earlier| Plan {
        geometry: geometry::of(&options.capacities),
        capacities: options.capacities,
        earlier,
        as_is: false,
    };
    let Some(found) = earlier else {
        return Ok(fresh(None));
    };
    let (was, is_ours) = match found.layout {
        Layout::Current(was) => (was, true),
        Layout::Other(layout) => match legacy::geometry(layout, &found.path) {
            Some(was) => (was, false),
            None => return Ok(fresh(Some(found))),
        },
    };
    let entries = |name| entries_of(&found.path.join(name));
    let (geometry, mut capacities) = geometry::not_below(&options.capacities, &was);
    capacities.prefixes = capacities.prefixes.max(entries(names::PREFIXES));
    capacities.flows = capacities.flows.max(entries(names::FLOWS));
    let as_is = is_ours
        && geometry == was
        && capacities.prefixes == entries(names::PREFIXES)
        && capacities.flows == entries(names::FLOWS)
        && entries(names::OVERFLOW) >= geometry::overflow_capacity(options.capacities.hosts);
    Ok(Plan {
        geometry,
        capacities,
        earlier: Some(found),
        as_is,
    })
}

/// A directory with the maps that are taken from the earlier process.
fn prepare(pins: &Pins, plan: &Plan) -> Result<PathBuf, EnforcerError> {
    let next = pins.start_next()?;
    if let Some(Earlier {
        path,
        layout: Layout::Current(_),
    }) = &plan.earlier
    {
        let names: &[&str] = if plan.as_is { &MAPS } else { &CARRIED };
        pins::share(names, path, &next)?;
    }
    Ok(next)
}

fn open_maps(handed: &Handed, plan: &Plan) -> Result<Maps, EnforcerError> {
    let mut maps = Maps::open(&Source::Handed(handed), &plan.geometry, &plan.capacities)?;
    match &plan.earlier {
        Some(earlier) if !plan.as_is => match earlier.layout {
            Layout::Current(was) => {
                let tables = Maps::open(&Source::Pins(&earlier.path), &was, &plan.capacities)?;
                maps.take_over(&tables)?;
            }
            Layout::Other(layout) => legacy::take_over(&mut maps, layout, &earlier.path)?,
        },
        Some(_) | None => {}
    }
    maps.rebuild_filter()?;
    Ok(maps)
}

fn entries_of(map: &Path) -> u32 {
    let info = aya::maps::MapData::from_pin(map).and_then(|map| map.info());
    info.map_or(0, |info| info.max_entries())
}
