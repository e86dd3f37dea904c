//! What the parameters and the result of an operation look like on the wire, as a text.

use std::collections::HashMap;
use std::fmt::Write;

use super::{Model, Parameter, StructId, Type};

impl Model {
    /// The layout of an operation on the wire: `long(int,string)`. Two programs understand each
    /// other's parameters and results if the texts are equal.
    ///
    /// Names of declarations are left out, as the wire has none. A struct is `{…}` with its
    /// members, a sequence `[…]`, a dictionary `<key:value>`, an enum `int`. `#0` is the struct
    /// that the text shows first, `#1` the next one: so the text of a struct that contains itself
    /// ends, and is never longer than its IDL.
    ///
    /// ```
    /// let text = "module m { struct A { int x; }; sequence<A> L;
    ///     interface I { L f(A one, A two); }; }";
    /// let model = tce_idl::compile_str(text).model.expect("the text is valid");
    /// let operation = &model.interfaces[0].operations[0];
    /// let layout = model.layout(&operation.parameters, operation.returns);
    /// assert_eq!(layout, "[{int}](#0,#0)");
    /// ```
    #[must_use]
    pub fn layout(&self, parameters: &[Parameter], returns: Option<Type>) -> String {
        let mut layout = Layout {
            model: self,
            shown: HashMap::new(),
            text: String::new(),
        };
        match returns {
            Some(ty) => layout.value(ty),
            None => layout.text.push_str("void"),
        }
        layout.text.push('(');
        layout.list(parameters.iter().map(|it| it.ty));
        layout.text.push(')');
        layout.text
    }
}

struct Layout<'m> {
    model: &'m Model,
    /// The numbers of the structs that the text has.
    shown: HashMap<StructId, usize>,
    text: String,
}

impl Layout<'_> {
    fn list(&mut self, types: impl Iterator<Item = Type>) {
        for (number, ty) in types.enumerate() {
            if number > 0 {
                self.text.push(',');
            }
            self.value(ty);
        }
    }

    fn value(&mut self, ty: Type) {
        let model = self.model;
        match ty {
            Type::Enum(_) => self.text.push_str(Type::Int.builtin_name()),
            Type::Struct(id) => match self.shown.get(&id) {
                Some(number) => {
                    // Writing to a `String` never fails.
                    let _ = write!(self.text, "#{number}");
                }
                None => {
                    self.shown.insert(id, self.shown.len());
                    self.text.push('{');
                    self.list(model.struct_(id).members.iter().map(|member| member.ty));
                    self.text.push('}');
                }
            },
            Type::Sequence(id) => {
                self.text.push('[');
                self.value(model.sequence(id).element);
                self.text.push(']');
            }
            Type::Dictionary(id) => {
                let dictionary = model.dictionary(id);
                self.text.push('<');
                self.value(dictionary.key);
                self.text.push(':');
                self.value(dictionary.value);
                self.text.push('>');
            }
            builtin => self.text.push_str(builtin.builtin_name()),
        }
    }
}
