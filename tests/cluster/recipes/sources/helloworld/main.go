// Helloworld answers GET /hello on port 5000 with its version and its pod's name, as Istio's example of that name does. In
// headers it says the version, and which try of its client's proxy it has answered.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	version := os.Getenv("SERVICE_VERSION")
	instance, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}

	routes := http.NewServeMux()
	routes.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Version", version)
		w.Header().Set("X-Try", r.Header.Get("X-Envoy-Attempt-Count"))
		fmt.Fprintf(w, "Hello version: %s, instance: %s\n", version, instance)
	})
	routes.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Helloworld is healthy")
	})

	server := &http.Server{Addr: ":5000", Handler: routes}
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	drained := make(chan struct{})
	go func() {
		<-told.Done()
		// Returns once every request in flight has its answer.
		if err := server.Shutdown(context.Background()); err != nil {
			log.Print(err)
		}
		close(drained)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-drained
}
