//! Stub.

pub(crate) fn ensure_venvs() -> anyhow::Result<std::path::PathBuf> {
    anyhow::bail!("not there yet")
}
