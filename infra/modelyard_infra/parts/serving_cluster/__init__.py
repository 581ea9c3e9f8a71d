"""Where models answer: a router in front of model servers, and the agent that keeps them deployed."""
