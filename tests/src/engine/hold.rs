//! A container that the Engine cannot remove: something that it has written may
//! be deleted by nobody (`chattr +i`). `docker rm` fails and leaves it `dead`.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::Engine;

impl Engine {
    /// From now on this container cannot be removed. One at a time.
    pub async fn hold(&self, container: &str) {
        let shown = self.inspect(container).await;
        let layer = shown["GraphDriver"]["Data"]["UpperDir"].as_str().expect("a layer of its own");
        let in_layer = Path::new(layer).join("held");
        fs::write(&in_layer, "").expect("the layer can be written to");
        // By its second name it is found again, whatever becomes of the first.
        let held = self.place.held_file();
        fs::hard_link(in_layer, &held).expect("one file system");
        set_immutable(&held, true).expect("root, and a file system with attributes");
    }

    pub fn let_go(&self) {
        release(&self.place.held_file()).expect("it was held");
    }
}

/// A run that was killed must not leave behind what nobody can remove.
pub(super) fn release(held: &Path) -> io::Result<()> {
    set_immutable(held, false)?;
    fs::remove_file(held)
}

fn set_immutable(file: &Path, immutable: bool) -> io::Result<()> {
    let file = File::open(file)?;
    let mut flags = ioctl_getflags(&file)?;
    flags.set(IFlags::IMMUTABLE, immutable);
    Ok(ioctl_setflags(&file, flags)?)
}
