from tests.support.providers.kubernetes.server import main

main()
