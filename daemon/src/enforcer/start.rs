//! How an enforcer starts: from nothing, or with what an earlier process left.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use portcullis_common::{Geometry, maps as names};

use super::{
    AttachOptions, Capacities, Enforcer, EnforcerError, Growth, InterfaceChanges, Tables, attach,
    attachment::Attachment,
    counters::CounterTable,
    debug_log,
    events::Events,
    geometry, legacy,
    maps::Maps,
    pins::{self, Earlier, Layout, MAPS, Pins},
    probe,
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

pub(super) fn attach(options: &AttachOptions) -> Result<Enforcer, EnforcerError> {
    let pins = options.pins.as_deref().map(Pins::open).transpose()?;
    let plan = plan(options, pins.as_ref())?;
    let options = AttachOptions {
        capacities: plan.capacities,
        ..options.clone()
    };
    let next = pins.as_ref().map(|pins| prepare(pins, &plan)).transpose()?;
    let pinned = next.as_deref().map(|next| (next, MAPS.as_slice()));
    let mut program = attach::load(&options, &plan.geometry, pinned)?;
    let maps = open_maps(&program, &plan)?;
    let source = Source::Program(&program);
    let settings = Settings::open(&source, &options, &plan.geometry)?;
    let counters = CounterTable::open(&source)?;
    if options.debug {
        debug_log::follow(&mut program)?;
    }
    let mut attachment = Attachment::new(program)?;
    let events = Events::open(attachment.program_mut())?;
    let named = match &pins {
        Some(pins) => Some(pins.finish_next(attachment.fd()?)?),
        None => None,
    };
    let changes = InterfaceChanges::open().map_err(|error| EnforcerError::Attach {
        interface: "(all)".to_owned(),
        reason: format!("changes of interfaces cannot be followed: {error}"),
    })?;
    attachment.attach(&options, pins.as_ref())?;
    if let Some(pins) = &pins {
        let indices: Vec<u32> = attachment
            .interfaces()
            .iter()
            .map(|interface| interface.index)
            .collect();
        pins.tidy(&indices, named.as_deref())?;
    }
    Ok(Enforcer {
        tables: Mutex::new(Tables {
            maps,
            settings,
            capacities: plan.capacities,
        }),
        counters,
        events: Mutex::new(Some(events)),
        interface_changes: Mutex::new(Some(changes)),
        attachment: Mutex::new(attachment),
        growth: Mutex::new(Growth::default()),
        options,
        pins,
        syn_cookies: probe::has_syn_cookies(),
    })
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

fn open_maps(program: &aya::Ebpf, plan: &Plan) -> Result<Maps, EnforcerError> {
    let mut maps = Maps::open(&Source::Program(program), &plan.geometry, &plan.capacities)?;
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
