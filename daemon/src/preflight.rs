//! What a configuration needs of this machine, looked at before anything runs by it.

use crate::config::{Config, ConfigError};
use crate::listener::tls;
use crate::proxy::pool;

/// What is wrong with the files that it names, under the keys that name them.
#[must_use]
pub fn check(config: &Config) -> Vec<ConfigError> {
    certificates(config).chain(authorities(config)).collect()
}

fn certificates(config: &Config) -> impl Iterator<Item = ConfigError> {
    let listeners = config.http.listeners.iter().enumerate();
    let all = listeners.filter_map(|(index, listener)| Some((index, listener.tls.as_ref()?)));
    all.flat_map(|(index, tls)| {
        let key = format!("listener[{index}].tls.certificates");
        let wrong = tls::check(tls).into_iter();
        wrong.map(move |error| mistake(&key, &error, Some(error.hint())))
    })
}

fn authorities(config: &Config) -> impl Iterator<Item = ConfigError> {
    let pools = config.http.upstreams.iter().enumerate();
    let pools = pools.map(|(index, pool)| (format!("upstream[{index}]"), pool));
    let all = pools.chain([("http.upstream".to_owned(), &config.http.upstream)]);
    all.filter_map(|(key, pool)| {
        let error = pool::check(pool).err()?;
        Some(mistake(&key, &error, error.hint()))
    })
}

fn mistake(key: &str, error: &impl ToString, hint: Option<&str>) -> ConfigError {
    ConfigError {
        file: None,
        place: None,
        key: key.to_owned(),
        message: error.to_string(),
        hint: hint.map(str::to_owned),
    }
}
