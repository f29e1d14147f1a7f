package main

import (
	"context"
	"time"
)

func proveFuzz(ctx context.Context, r *report, d time.Duration, match string) {}
func proveDarwin(ctx context.Context, r *report, s size)                      {}
func proveChaos(ctx context.Context, r *report, s size)                       {}
func proveSoak(ctx context.Context, r *report, s size)                        {}
