package cgoless

// Found is what dlsym says of one name in the table of symbols.
type Found struct {
	Library string
	Name    string // the C name
	Instead string // what serves where the name is missing; "" if nothing does
	There   bool
}
