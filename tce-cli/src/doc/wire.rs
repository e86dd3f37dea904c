//! The page of all operations by their indices, for who reads frames, logs and routes.

use maud::{Markup, html};
use tce_idl::model::{Interface, InterfaceId, Operation};

use super::{links::Links, pages::modes};

pub(super) fn body(links: &Links<'_>) -> Markup {
    let model = links.0;
    let mut interfaces: Vec<_> = (0..).map(InterfaceId).zip(&model.interfaces).collect();
    interfaces.sort_by_key(|(id, it)| (it.index, *id));
    html! {
        h1 { "Wire index" }
        p {
            "A call says which operation it is for by two numbers: " code { "ifidx" }
            ", the index of the interface that declares it, and " code { "opidx" }
            ", the index of the operation in it. An inherited operation is called by the numbers of its base."
        }
        div.wide {
            table {
                thead { tr { th { "ifidx" } th { "opidx" } th { "Operation" } th { "Interface" } th { "Called" } } }
                tbody { @for (id, it) in interfaces { @for operation in sorted(it) {
                    tr {
                        td.number { (it.index) }
                        td.number { (operation.index) }
                        td { code { (links.signature(id, operation, it.module)) } }
                        td { a href=(links.element(it.module, &it.name)) {
                            (model.full_name(it.module, &it.name))
                        } }
                        td.modes { (modes(operation)) }
                    }
                } } }
            }
        }
    }
}

fn sorted(it: &Interface) -> Vec<&Operation> {
    let mut operations: Vec<_> = it.operations.iter().collect();
    operations.sort_by_key(|operation| operation.index);
    operations
}
