fn main() {
    reprieve_server::backend::process::exec_child_if_asked();
}
