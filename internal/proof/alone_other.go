//go:build !linux

package main

const roleInit = "first-process"

func alone() (code int, ran bool) { return 0, false }

func first([]string) int { return 1 }
