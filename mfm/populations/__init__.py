"""Spiking populations and their neural masses: networks of Izhikevich neurons, and what mean-field theory says of them."""

from mfm.populations.network import INTERNEURON, TIME_UNIT_S, Network, NeuronType
from mfm.populations.neural_mass import NeuralMass
from mfm.populations.simulate import Activity, MacroState, simulate_network

__all__ = ["INTERNEURON", "TIME_UNIT_S", "Activity", "MacroState", "Network", "NeuralMass", "NeuronType", "simulate_network"]
