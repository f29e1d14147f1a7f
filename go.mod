module github.com/hermes-gw/hermes-gw

go 1.26
