package cgoless

// FindSymbols looks up every name in the table of symbols, in its order.
func FindSymbols() ([]Found, error) {
	found := make([]Found, len(symbols))
	for id, s := range symbols {
		var b binder
		found[id] = Found{Library: s.library, Name: s.name, Instead: s.fallback, There: b.address(symbolID(id)) != 0}
	}
	return found, nil
}

// ErrorText is libxpc's own text for an error number (xpc_strerror). It is false where
// libxpc has none to give.
func ErrorText(code int32) (string, bool) {
	var b binder
	var text func(code int32) string
	if b.fn(&text, xpcStrerror); text == nil {
		return "", false
	}
	return text(code), true
}
