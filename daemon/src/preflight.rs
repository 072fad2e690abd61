//! What a configuration needs of this machine, looked at before anything runs by it.

use crate::config::{Config, ConfigError};
use crate::listener::tls;

/// What is wrong with the files that it names, under the keys that name them.
#[must_use]
pub fn check(config: &Config) -> Vec<ConfigError> {
    let listeners = config.http.listeners.iter().enumerate();
    let all = listeners.filter_map(|(index, listener)| Some((index, listener.tls.as_ref()?)));
    let wrong = all.flat_map(|(index, tls)| tls::check(tls).into_iter().map(move |error| (index, error)));
    let error = |(index, error): (usize, tls::CertificateError)| ConfigError {
        file: None,
        place: None,
        key: format!("listener[{index}].tls.certificates"),
        message: error.to_string(),
        hint: Some(error.hint().to_owned()),
    };
    wrong.map(error).collect()
}
