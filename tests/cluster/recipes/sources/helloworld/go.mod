module outrigger.dev/tests/cluster/recipes/sources/helloworld

go 1.21
