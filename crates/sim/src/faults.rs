//! What goes wrong, and what the operator does meanwhile.

use crate::world::{World, release};
use std::collections::BTreeSet;
use stoa_model::cluster::SwitchoverOrder;
use stoa_model::deployment::DeployKind;
use stoa_model::intent::Power;
use stoa_model::observed::ReleaseState;
use stoa_model::site::Bytes;
use stoa_model::{Endpoint, InstanceId, ReleaseId, Tier, Time};

const FAULTS: &[fn(&mut World)] = &[
    kill,
    kill,
    kill,
    hang,
    bad_start,
    silence,
    silence,
    freeze,
    failing_steps,
    kill_the_daemon,
    kill_the_daemon,
    power_loss,
    squat,
    break_replication,
    kill_the_primary,
    kill_the_primary,
    hang_the_primary,
    cut_off,
    fill_the_disk,
    corrupt,
    mute,
    wedge,
    ruin,
    switch_over,
    switch_over,
    meddle,
    lose_static_root,
    deploy,
    deploy,
    bad_deploy,
    bad_deploy,
    rollback,
    change_rules,
    scale,
    scale,
    restart,
    restart,
    configure,
    configure,
    power,
    stray,
];

/// Something goes wrong, or is asked for.
pub(crate) fn strike(world: &mut World) {
    if let Some(fault) = world.rng.pick(FAULTS) {
        fault(world);
    }
}

/// What an operator asks for on a day without accidents; releases may be bad, and the daemon may die.
pub(crate) fn order_something(world: &mut World) {
    const ORDERS: &[fn(&mut World)] = &[
        deploy,
        deploy,
        bad_from_the_start,
        bad_from_the_start,
        rollback,
        change_strategy,
        restart_the_app,
        kill_the_daemon,
        kill_the_daemon,
    ];
    if let Some(order) = world.rng.pick(ORDERS) {
        order(world);
    }
}

/// Nothing goes wrong any more and what is asked for can be had.
pub(crate) fn end(world: &mut World) {
    world.tell("nothing goes wrong from here on");
    world.failing_steps = 0;
    world.bad_starts.clear();
    world.cut_until.clear();
    world.full_until = world.now;
    if let Some(daemon) = &mut world.daemon {
        let now = world.now;
        daemon.silent_until.values_mut().for_each(|until| *until = now.min(*until));
        daemon.frozen.iter_mut().for_each(|(until, _)| *until = now.min(*until));
    }
    let asked = &world.intent.release;
    let bad = [
        &world.bad_builds,
        &world.sick_releases,
        &world.fading_releases,
        &world.crashing_releases,
        &world.stuck_migrations,
    ];
    if bad.iter().any(|all| all.contains(asked)) {
        deploy(world);
    }
    // Where nothing was asked for a long time, hanging ones come to their senses, unless another serves in their place.
    let well: Vec<_> = world.processes.keys().copied().filter(|id| world.is_well(*id)).collect();
    let now = world.now;
    for (id, process) in &mut world.processes {
        if let Some(database) = &mut process.database {
            database.wedged = false;
        }
        let hangs = process.hangs_until > now;
        let replaceable = matches!(id.tier, Tier::App | Tier::Web | Tier::Balancer | Tier::Splitter);
        if !well.iter().any(|other| other.tier == id.tier) {
            process.fades = None;
        }
        if hangs && replaceable && well.iter().any(|other| other.tier == id.tier) {
            process.hangs_until = Time(u64::MAX);
        } else if hangs {
            process.hangs_until = process.hangs_until.min(Time(now.0 + 60_000));
        }
    }
}

fn some_process(world: &mut World) -> Option<InstanceId> {
    let ids: Vec<_> = world.processes.keys().copied().collect();
    world.rng.pick(&ids)
}

fn kill(world: &mut World) {
    if let Some(id) = some_process(world) {
        world.die(id, "killed by signal 9");
    }
}

fn hang(world: &mut World) {
    let Some(id) = some_process(world) else { return };
    let until = Time(world.now.0 + world.rng.within(500, 90_000));
    world.tell(format!("{id} hangs for {}", until.since(world.now)));
    if let Some(process) = world.processes.get_mut(&id) {
        process.hangs_until = until;
    }
}

fn bad_start(world: &mut World) {
    let ids: Vec<_> = world.roster.instances.keys().copied().collect();
    let Some(id) = world.rng.pick(&ids) else { return };
    // A database is given ten minutes; the story is shorter.
    let never = id.tier != Tier::Database && world.rng.chance(50);
    let late = (!never).then(|| world.rng.within(3_000, 20_000));
    world.tell(format!("the next start of {id} is bad: healthy after {late:?}"));
    world.bad_starts.insert(id, late);
}

fn silence(world: &mut World) {
    let Some(id) = some_process(world) else { return };
    let until = Time(world.now.0 + world.rng.within(500, 20_000));
    world.tell(format!("{id} is not heard for {}", until.since(world.now)));
    if let Some(daemon) = &mut world.daemon {
        daemon.silent_until.insert(id, until);
    }
}

fn freeze(world: &mut World) {
    let until = Time(world.now.0 + world.rng.within(500, 25_000));
    let seen = world.observe();
    world.tell(format!("the host is not heard for {}", until.since(world.now)));
    if let Some(daemon) = &mut world.daemon {
        daemon.frozen = Some((until, seen));
    }
}

fn failing_steps(world: &mut World) {
    world.failing_steps = if world.failing_steps == 0 { world.rng.within(10, 60) } else { 0 };
    let percent = world.failing_steps;
    world.tell(format!("{percent} % of steps fail"));
}

fn kill_the_daemon(world: &mut World) {
    world.kill_daemon("of signal 9");
}

fn power_loss(world: &mut World) {
    if !world.rng.chance(40) {
        return;
    }
    world.tell("the power is lost");
    world.kill_daemon("with the machine");
    world.processes.clear();
    let keep = world.rng.chance(50);
    world.ended.retain(|_, _| keep);
}

fn squat(world: &mut World) {
    let ports: Vec<_> =
        world.roster.instances.iter().filter_map(|(id, p)| Some((*id, p.endpoint.port()?))).collect();
    if let Some((id, port)) = world.rng.pick(&ports) {
        if world.processes.contains_key(&id) {
            world.die(id, "killed by signal 9");
        }
        world.tell(format!("somebody takes the port {port} of {id}"));
        world.squatters.insert(port.get());
    }
}

fn break_replication(world: &mut World) {
    for process in world.processes.values_mut() {
        if let Some(database) = process.database.as_mut().filter(|database| !database.writable) {
            database.broken = Some("duplicate key".to_owned());
        }
    }
    world.tell("replication breaks");
}

fn kill_the_primary(world: &mut World) {
    if let Some(id) = world.roster.primary.filter(|id| world.processes.contains_key(id)) {
        world.die(id, "killed by signal 9");
    }
}

fn hang_the_primary(world: &mut World) {
    let Some(id) = world.roster.primary else { return };
    let until = world.later(90_000);
    if let Some(process) = world.processes.get_mut(&id) {
        process.hangs_until = until;
        world.tell(format!("{id}, the primary, hangs for {}", until.since(world.now)));
    }
}

fn cut_off(world: &mut World) {
    let Some(id) = world.some_replica() else { return };
    let until = world.later(20_000);
    world.tell(format!("{id} does not reach its primary for {}", until.since(world.now)));
    world.cut_until.insert(id, until);
}

fn fill_the_disk(world: &mut World) {
    world.full_until = world.later(20_000);
    world.tell(format!("the disk is full for {}", world.full_until.since(world.now)));
}

/// Somebody switches its acknowledging off.
fn mute(world: &mut World) {
    let Some(id) = world.some_replica() else { return };
    let now = world.now;
    if let Some(database) = world.processes.get_mut(&id).and_then(|process| process.database.as_mut()) {
        database.mute.get_or_insert(now);
        world.tell(format!("{id} acknowledges nothing any more"));
    }
}

fn wedge(world: &mut World) {
    let Some(id) = world.roster.primary else { return };
    if let Some(database) = world.processes.get_mut(&id).and_then(|process| process.database.as_mut()) {
        database.wedged = true;
        world.tell(format!("{id}, the primary, sends nothing to its replicas any more"));
    }
}

fn corrupt(world: &mut World) {
    let Some(id) = world.some_replica() else { return };
    world.tell(format!("{id} can apply nothing any more"));
    if let Some(disk) = world.disks.get_mut(&id) {
        disk.corrupt = true;
    }
}

fn ruin(world: &mut World) {
    let Some(id) = world.some_replica() else { return };
    if let Some(disk) = world.disks.get_mut(&id) {
        disk.ruined = true;
    }
    world.die(id, "killed by signal 6");
}

fn switch_over(world: &mut World) {
    let number = world.intent.switchover.as_ref().map_or(0, |order| order.number) + 1;
    let to = world.some_replica().filter(|_| world.rng.chance(50));
    world.tell(format!("a switchover to {to:?} is asked for"));
    world.intent.switchover = Some(SwitchoverOrder { number, to, by: "anna@laptop".to_owned() });
}

fn meddle(world: &mut World) {
    let ids: Vec<_> = world.processes.keys().copied().filter(|id| id.tier == Tier::Database).collect();
    let Some(id) = world.rng.pick(&ids) else { return };
    if !world.is_well(id) || !world.rng.chance(50) {
        return;
    }
    world.tell(format!("somebody makes {id} writable by hand"));
    world.meddled = true;
    if let Some(database) = world.processes.get_mut(&id).and_then(|process| process.database.as_mut()) {
        database.writable = true;
    }
}

fn lose_static_root(world: &mut World) {
    world.tell("somebody removes the link to the static files");
    world.static_roots.clear();
}

fn deploy(world: &mut World) {
    let next = release(world.last_number + 1);
    world.tell(format!("{next} is deployed"));
    world.releases.insert(next.clone(), ReleaseState::Taken);
    order(world, next, DeployKind::Deploy);
}

fn order(world: &mut World, release: ReleaseId, kind: DeployKind) {
    world.last_number = world.last_number.max(release.number());
    world.intent.release = release;
    world.intent.deploy.number = world.intent.deploy.number.next();
    world.intent.deploy.kind = kind;
}

fn rollback(world: &mut World) {
    let built = |(release, state): (&ReleaseId, &ReleaseState)| {
        (*state == ReleaseState::Built && *release != world.intent.release).then(|| release.clone())
    };
    let all: Vec<_> = world.releases.iter().filter_map(built).collect();
    let Some(release) = world.rng.pick(&all) else { return };
    world.tell(format!("back to {release}"));
    order(world, release, DeployKind::Rollback);
}

fn change_rules(world: &mut World) {
    let rules = crate::world::sample_rules(&mut world.rng);
    world.tell(format!("releases follow one another by {:?}", rules.strategy));
    world.intent.site.deploy = rules;
}

/// Another strategy; what is run once stays what it was.
fn change_strategy(world: &mut World) {
    let tasks = world.intent.site.deploy.clone();
    change_rules(world);
    let rules = &mut world.intent.site.deploy;
    (rules.migrate, rules.before_deploy, rules.after_deploy) =
        (tasks.migrate, tasks.before_deploy, tasks.after_deploy);
}

type Kind = (&'static str, fn(&mut World) -> &mut BTreeSet<ReleaseId>);

/// Releases of which nothing is ever sent a request.
const NEVER_READY: [Kind; 3] = [
    ("cannot be built", |world| &mut world.bad_builds),
    ("never becomes healthy", |world| &mut world.sick_releases),
    ("cannot be migrated to", |world| &mut world.stuck_migrations),
];

/// Releases that fail once they run.
const BAD_LATER: [Kind; 2] = [
    ("turns sick after a while", |world| &mut world.fading_releases),
    ("ends by itself", |world| &mut world.crashing_releases),
];

fn bad_deploy(world: &mut World) {
    deploy_bad(world, &[NEVER_READY.as_slice(), &BAD_LATER].concat());
}

fn bad_from_the_start(world: &mut World) {
    deploy_bad(world, &NEVER_READY);
}

fn deploy_bad(world: &mut World, kinds: &[Kind]) {
    deploy(world);
    let release = world.intent.release.clone();
    let Some((what, kind)) = world.rng.pick(kinds) else { return };
    world.tell(format!("{release} {what}"));
    kind(world).insert(release);
}

fn restart_the_app(world: &mut World) {
    world.tell("restart app");
    *world.intent.restarts.entry(Tier::App).or_default() += 1;
}

fn scale(world: &mut World) {
    let Some(tier) = world.rng.pick(&[Tier::App, Tier::App, Tier::Web, Tier::Balancer, Tier::Database])
    else {
        return;
    };
    let count = u16::try_from(world.rng.within(1, 5)).unwrap_or(1);
    world.tell(format!("scale {tier}={count}"));
    world.intent.scale.insert(tier, count);
}

fn restart(world: &mut World) {
    if let Some(tier) = world.rng.pick(&Tier::ALL) {
        world.tell(format!("restart {tier}"));
        *world.intent.restarts.entry(tier).or_default() += 1;
    }
}

fn configure(world: &mut World) {
    let value = world.rng.within(1, 1_000);
    let site = &mut world.intent.site;
    let what = match world.rng.within(0, 7) {
        0 => site.app.as_mut().map(|app| {
            app.env.insert("VALUE".to_owned(), value.to_string());
            "the environment of the app"
        }),
        1 => {
            site.web.max_body = Bytes(value);
            Some("the largest body")
        }
        2 => site.database.as_mut().map(|database| {
            database.memory = Bytes(value);
            "the memory of the database"
        }),
        3 => site.database.as_mut().map(|database| {
            database.tls = !database.tls;
            "whether the database is connected to inside TLS"
        }),
        4 => site.cache.as_mut().map(|cache| {
            cache.memory = Bytes(value);
            "the memory of the cache"
        }),
        5 => {
            site.balancer.listen.set_port(8_000 + u16::try_from(value).unwrap_or(0));
            Some("where visitors connect")
        }
        _ => {
            let cache = r#"{"engine": "redis", "memory": 1, "eviction": "allkeys-lru"}"#;
            site.cache = if site.cache.is_some() { None } else { serde_json::from_str(cache).ok() };
            Some("whether there is a cache")
        }
    };
    if let Some(what) = what {
        world.tell(format!("the config changes: {what}"));
    }
}

/// A process is there that no roster knows, as after a store was put back from a backup.
fn stray(world: &mut World) {
    let id = InstanceId::new(Tier::App, 9);
    let known = world.roster.instances.contains_key(&id) || world.processes.contains_key(&id);
    let model =
        world.processes.iter().find(|(id, _)| id.tier == Tier::App).map(|(_, process)| process.clone());
    let Some(mut process) = model.filter(|_| !known) else { return };
    process.endpoint = Endpoint::Unix(world.paths.socket(id));
    process.ends = None;
    world.tell(format!("{id} runs and nobody knows why"));
    world.processes.insert(id, process);
}

fn power(world: &mut World) {
    world.intent.power = if world.intent.power == Power::On { Power::Off } else { Power::On };
    let power = world.intent.power;
    world.tell(format!("the site is asked to be {power:?}"));
}
